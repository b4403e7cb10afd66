/*
 * answer.h
 *	  What the server answered, as the program gets it.
 */
#ifndef STENT_ANSWER_H
#define STENT_ANSWER_H

#include <libpq-fe.h>

#include "statements.h"
#include "stent.h"

/* A reply, and the memory it points to. */
typedef struct Answer
{
	StentReply reply;
	StentError error;
	const char **outcomes;
	int64_t *numbers;
} Answer;

extern void answer_read(Answer *answer, AnswerKind kind, size_t n_items, const PGresult *result);
extern void answer_fail(Answer *answer, const StentError *error);
extern void answer_free(Answer *answer);
extern StentStatus answer_bad(StentError *error, const char *what);

/* Fields of the binary format. */
extern int64_t field_int8(const char *value);
extern int32_t field_int4(const char *value);
extern double field_float8(const char *value);

#endif
