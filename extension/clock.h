/*
 * clock.h
 *	  The one clock and the texts of durations.
 */
#ifndef STENT_CLOCK_H
#define STENT_CLOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/guc.h"

extern Timestamp clock_now(void);
extern bool clock_check(char **newval, void **extra, GucSource source);
extern void clock_assign(const char *newval, void *extra);
extern bool duration_parse(const char *text, Interval *out);
extern int64 interval_us(const Interval *interval);
extern Interval *interval_from_us(int64 us);
/* A century: beyond it an interval is a mistake. */
#define MAX_DURATION_DAYS INT64CONST(36500)

extern void interval_check(const Interval *interval, const char *what);
extern char *duration_text(int64 us);

#endif
