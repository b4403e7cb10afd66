/*
 * wait.h
 *	  What sessions that wait for tasks share: being woken, sleeping, what is refused.
 */
#ifndef STENT_WAIT_H
#define STENT_WAIT_H

#include "postgres.h"

#include "fmgr.h"
#include "portability/instr_time.h"

#include "store.h"

extern void wait_publish(int64 id, int64 from, int64 to);
extern void wait_withdraw(void);
extern bool wait_sleep(instr_time begun, int64 limit_us);
extern bool wait_is_own(Store *store, int64 id);
extern void wait_refuse_in_handler(const char *function, const char *instead);
extern void wait_require_read_committed(const char *what, const char *procedure);
extern void wait_require_nonatomic(FunctionCallInfo fcinfo, const char *procedure,
								   const char *function);

#endif
