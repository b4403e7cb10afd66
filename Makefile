# PGXS build of the extension; the worker has a Makefile of its own.
#
#   make                    the extension
#   make FAULTS=1           the same with fault points, for tests
#   make install
#   make installcheck       pg_regress, isolation and TAP tests (needs FAULTS=1)
#   make worker             library and program outside the server (worker/Makefile: libpq-dev,
#                           libjansson-dev, libevent-dev, pkg-config)
#   make worker-check       their unit tests (and libcmocka-dev)
#   make worker-install     DESTDIR, PREFIX
#   make bench              measurements against yardsticks
#   make indent             formats the C sources
PG_CONFIG ?= pg_config

EXTENSION = extension/stent
STENT_VERSION = 0.5.0
MODULE_big = stent
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard extension/*.c)))
DATA_built = sql/stent--$(STENT_VERSION).sql
# Released install scripts are kept as they were; the upgrade test starts from them.
DATA = sql/stent--0.1.0.sql sql/stent--0.2.0.sql sql/stent--0.3.0.sql sql/stent--0.4.0.sql $(wildcard sql/stent--*--*.sql)

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=stent
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=. --load-extension=stent
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

ifeq ($(FAULTS),1)
FAULT_CPPFLAGS = -DSTENT_FAULTS
endif

EXTRA_CLEAN = sql/stent--$(STENT_VERSION).sql extension/errcodes_table.h results output_iso tmp_check log regression.diffs regression.out

# Bitcode would only serve to inline us into JIT code.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Our warnings are errors; the server's headers are the server's business.
override CPPFLAGS := -Iextension -DSTENT_VERSION=\"$(STENT_VERSION)\" $(FAULT_CPPFLAGS) $(patsubst -I$(includedir_server),-isystem $(includedir_server),$(CPPFLAGS))
override CFLAGS += -O2 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-declaration-after-statement

sql/stent--$(STENT_VERSION).sql: $(sort $(wildcard sql/parts/*.sql))
	cat $^ > $@

# SQLSTATEs and condition names, from the list of the server we build for.
extension/errcodes_table.h: $(shell $(PG_CONFIG) --sharedir)/errcodes.txt
	awk '/^[0-9A-Z]/ && NF >= 4 && $$2 == "E" { printf "{\"%s\", \"%s\"},\n", $$1, $$4 }' $< > $@

extension/retry.o: extension/errcodes_table.h
$(OBJS): $(wildcard extension/*.h) Makefile

.PHONY: bench indent worker worker-check worker-install worker-clean
worker:
	$(MAKE) -C worker

worker-check:
	$(MAKE) -C worker check

worker-install:
	$(MAKE) -C worker install

clean: worker-clean
worker-clean:
	$(MAKE) -C worker clean

bench:
	PG_CONFIG=$(PG_CONFIG) bench/run

indent:
	clang-format -i $(wildcard extension/*.[ch] worker/*/*.[ch] test/unit/*.[ch])
