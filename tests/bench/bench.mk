# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make bench measures what the goals name and writes
# build/bench/performance.{md,json,svg}.

BENCH := tests/bench
BENCH_OUT := $(BUILD)/bench
# For measuring, and for comparison.
BENCH_PACKAGES := valgrind binutils trace-cmd babeltrace2 lttng-tools liblttng-ust-dev

# One variant for all figures, as they are compared from run to run.
BENCH_VARIANT := QEMU=loadable-7.2 KERNEL=6.1 ACCEL=tcg

.PHONY: bench bench-docs bench-repeat
bench bench-docs bench-repeat:
	@scripts/deps.sh
	@$(MAKE) -j$(JOBS) $(BENCH_VARIANT) ONE_VARIANT=yes parts
	@scripts/more-deps.sh bench $(BENCH_PACKAGES)
	@$(MAKE) $(BENCH_VARIANT) bench-parts
	@$(MAKE) $(BENCH_VARIANT) run-$@

.PHONY: bench-parts bench-module run-bench run-bench-docs run-bench-repeat
bench-parts: bench-module $(BENCH_OUT)/bench-drain $(BENCH_OUT)/bench-merge $(BENCH_OUT)/bench-ust \
	ring-bench

bench-module:
	@echo '== Module of the bench'
	@$(MAKE) -s -C $(BENCH)/guest KDIR='$(KDIR_6.1)' O='$(BENCH_OUT)/guest'

$(BENCH_OUT):
	@mkdir -p $@

# The headers that the device was compiled with.
BENCH_QEMU = $(firstword $(wildcard $(BUILD)/qemu-device/7.2*))
BENCH_QEMU_CONF = $(BENCH_QEMU)/qemu
BENCH_QEMU_CFLAGS = -std=gnu11 -O2 -g -fno-strict-aliasing -fno-common -fwrapv -pthread \
	-ffunction-sections -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	-iquote qemu-device -iquote log -Iinclude -I$(BENCH_QEMU_CONF) -I$(BENCH_QEMU_CONF)/qapi \
	-iquote $(BENCH_QEMU_CONF) -iquote $(QEMU_SRC_loadable-7.2) -iquote $(QEMU_SRC_loadable-7.2)/include \
	-I$(QEMU_SRC_loadable-7.2)/include -isystem $(QEMU_SRC_loadable-7.2)/linux-headers -Wall -Wno-unused-parameter
BENCH_DRAIN_OBJECTS = $(addprefix $(BENCH_QEMU)/,ddebug-drain.o ddebug-stream.o \
	$(notdir $(patsubst %.c,%.o,$(wildcard log/*.c))))

$(BENCH_OUT)/bench-drain: $(BENCH)/bench-drain.c $(BENCH_DRAIN_OBJECTS) | $(BENCH_OUT)
	@echo '  CC      bench-drain'
	@$(CC) $(BENCH_QEMU_CFLAGS) $$(pkg-config --cflags glib-2.0 pixman-1) -o $@ $^ \
		-Wl,--gc-sections $$(pkg-config --libs glib-2.0 libisal)

$(BENCH_OUT)/bench-merge: $(BENCH)/bench-merge.c $(BUILD)/host-tool/libddebug.a | $(BENCH_OUT)
	@echo '  CC      bench-merge'
	@$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -Iinclude -Ilog -Ihost-tool/lib \
		$$(pkg-config --cflags glib-2.0) -o $@ $^ $$(pkg-config --libs glib-2.0 libisal)

$(BENCH_OUT)/bench-ust: $(BENCH)/bench-ust.c $(BENCH)/bench-ust-tp.h | $(BENCH_OUT)
	@echo '  CC      bench-ust'
	@$(CC) -std=gnu11 -O2 -g -Wall -I$(BENCH) -o $@ $< -llttng-ust -ldl

# The producer's source as an ordinary program.
.PHONY: ring-bench
ring-bench: | $(BENCH_OUT)
	@$(MAKE) -s -C tests/ring lib O='$(BENCH_OUT)/ring'
	@echo '  CC      bench-ring'
	@$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Wno-sign-compare -Wno-unused-parameter -pthread \
		-I'$(BENCH_OUT)/ring/include' -Iinclude -Itests/ring -include kernel.h \
		-o $(BENCH_OUT)/bench-ring $(BENCH)/bench-ring.c '$(BENCH_OUT)/ring/libddebug-ring.a'

run-bench run-bench-docs run-bench-repeat: venv
	@$(VENV_PYTHON) $(BENCH)/bench.py $(@:run-%=%)
