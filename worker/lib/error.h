/*
 * error.h
 *	  Filling in what a caller is told of a failure.
 */
#ifndef STENT_ERROR_H
#define STENT_ERROR_H

#include <libpq-fe.h>

#include "stent.h"

extern StentStatus error_set(StentError *error, StentStatus status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
extern StentStatus error_none(StentError *error);
extern StentStatus error_copy(StentError *error, const StentError *from);
extern void error_hint(StentError *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
extern StentStatus error_no_memory(StentError *error);
extern StentStatus error_of_result(StentError *error, StentStatus status, const PGresult *result);
extern StentStatus error_of_connection(StentError *error, StentStatus status, const PGconn *pg);

#endif
