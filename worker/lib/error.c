/*
 * error.c
 *	  Filling in what a caller is told of a failure.
 *
 * A StentError is the caller's and may be NULL; nothing here takes memory, so a want of
 * memory can be told too.
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Longest character, so that a text cut by printf is seen to be cut by put(). */
#define MB 4

/* The name of a status, for people. */
const char *
stent_status_name(StentStatus status)
{
	switch (status)
	{
		case STENT_OK:
			return "ok";
		case STENT_EMPTY:
			return "empty";
		case STENT_INVALID:
			return "invalid argument";
		case STENT_NO_MEMORY:
			return "out of memory";
		case STENT_NOT_OPEN:
			return "not connected";
		case STENT_LOST:
			return "connection lost";
		case STENT_REFUSED:
			return "refused by the server";
		case STENT_MISMATCH:
			return "versions do not match";
		case STENT_BAD_ANSWER:
			return "answer not understood";
	}
	return "unknown status";
}

/* The version of this library. */
const char *
stent_version(void)
{
	return STENT_VERSION;
}

/* Copies a text into a field, on one line, cut at the end of a character. */
static void
put(char *field, size_t size, const char *text)
{
	size_t length = 0;
	size_t cut;

	for (; text != NULL && text[length] != '\0' && length < size - 1; length++)
		field[length] = text[length] == '\n' || text[length] == '\r' ? ' ' : text[length];
	if (text != NULL && text[length] != '\0')
	{
		/* Do not leave the first bytes of a character whose last ones were cut off. */
		for (cut = length; cut > 0 && ((unsigned char) text[cut] & 0xC0) == 0x80; cut--)
			;
		length = cut;
	}
	while (length > 0 && field[length - 1] == ' ')
		length--;
	field[length] = '\0';
}

/* Clears an error; STENT_OK. */
StentStatus
error_none(StentError *error)
{
	if (error != NULL)
	{
		error->status = STENT_OK;
		error->code[0] = error->message[0] = error->detail[0] = error->hint[0] = '\0';
	}
	return STENT_OK;
}

/* Fills an error with a message of ours; the status. */
StentStatus
error_set(StentError *error, StentStatus status, const char *format, ...)
{
	char text[STENT_MESSAGE_LENGTH + MB];
	va_list args;

	if (error == NULL)
		return status;
	error_none(error);
	error->status = status;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(error->message, sizeof(error->message), text);
	return status;
}

/* Hands an error on; its status. */
StentStatus
error_copy(StentError *error, const StentError *from)
{
	if (error != NULL && error != from)
		*error = *from;
	return from->status;
}

/* Sets the hint of an error. */
void
error_hint(StentError *error, const char *format, ...)
{
	char text[STENT_MESSAGE_LENGTH + MB];
	va_list args;

	if (error == NULL)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(error->hint, sizeof(error->hint), text);
}

/* The error that needs no memory to be told. */
StentStatus
error_no_memory(StentError *error)
{
	return error_set(error, STENT_NO_MEMORY, "out of memory");
}

/* Fills an error from a result of the server. */
StentStatus
error_of_result(StentError *error, StentStatus status, const PGresult *result)
{
	const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (error == NULL)
		return status;
	error_none(error);
	error->status = status;
	put(error->code, sizeof(error->code), code);
	/* What libpq itself reports has no fields. */
	put(error->message, sizeof(error->message),
		message != NULL ? message : PQresultErrorMessage(result));
	put(error->detail, sizeof(error->detail), PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
	put(error->hint, sizeof(error->hint), PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
	return status;
}

/* Fills an error with what libpq says of its connection. */
StentStatus
error_of_connection(StentError *error, StentStatus status, const PGconn *pg)
{
	const char *text = PQerrorMessage(pg);

	if (error == NULL)
		return status;
	error_none(error);
	error->status = status;
	put(error->message, sizeof(error->message), text);
	if (error->message[0] == '\0')
		put(error->message, sizeof(error->message), "connection failed");
	return status;
}
