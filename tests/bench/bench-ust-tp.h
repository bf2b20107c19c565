/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The three-int message as an LTTng-UST event. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER ddebug_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./bench-ust-tp.h"

#if !defined(BENCH_UST_TP_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define BENCH_UST_TP_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(
    ddebug_bench, urb,
    LTTNG_UST_TP_ARGS(int, urb, int, len, int, status),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(int, urb, urb)
        lttng_ust_field_integer(int, len, len)
        lttng_ust_field_integer(int, status, status)
    )
)

#endif

#include <lttng/tracepoint-event.h>
