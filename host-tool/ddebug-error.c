/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ddebug-error.h"

G_DEFINE_QUARK (ddebug-error-quark, ddebug_error)
