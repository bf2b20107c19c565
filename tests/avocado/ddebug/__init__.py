# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests with guests share: guests, logs, drivers without a guest, failing disks."""
