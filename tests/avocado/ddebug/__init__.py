# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared by the guest tests: guests, logs, drivers without a guest, failing disks."""
