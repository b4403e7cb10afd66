/*
 * support.h
 *	  What the unit tests of the client library share.
 */
#ifndef STENT_UNIT_SUPPORT_H
#define STENT_UNIT_SUPPORT_H

/* cmocka wants these before its own header */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include "stent.h"

/* For states that come: more than a loaded machine needs. */
#define PATIENCE 60.0

/* A database of the test's own, and a session there without the library. */
extern void server_open(const char *database);
extern void server_close(void);
extern void server_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern int64_t server_number(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits until a boolean is true. */
extern void until_true(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern StentConn *client_open(void);
extern void assert_status(StentStatus expected, StentStatus got, const StentError *error);

/* Memory of the library and of jansson, counted; the n-th request from now fails. */
extern void memory_watch(void);
extern void memory_fail(long n);
extern bool memory_failed(void);
extern long memory_in_use(void);

#endif
