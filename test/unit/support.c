/*
 * support.c
 *	  What the unit tests of the client library share.
 *
 * Where the server is, libpq takes from the environment.
 */
#include "support.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "memory.h"

static PGconn *session;
static const char *database;

static void
connect_to(const char *name)
{
	assert_int_equal(0, setenv("PGDATABASE", name, 1));
	session = PQconnectdb("");
	if (PQstatus(session) != CONNECTION_OK)
		fail_msg("these tests need a server (PGHOST, ...): %s", PQerrorMessage(session));
	server_run("SET client_min_messages = error");
}

/* Makes a database, which clients connect to from now on. */
void
server_open(const char *name)
{
	connect_to("postgres");
	database = name;
	server_run("DROP DATABASE IF EXISTS %s WITH (FORCE)", database);
	server_run("CREATE DATABASE %s", database);
	PQfinish(session);
	connect_to(database);
}

/* Drops it. */
void
server_close(void)
{
	PQfinish(session);
	connect_to("postgres");
	server_run("DROP DATABASE %s WITH (FORCE)", database);
	PQfinish(session);
}

static PGresult *
run(const char *format, va_list args)
{
	char sql[4096];
	PGresult *result;

	vsnprintf(sql, sizeof(sql), format, args);
	result = PQexec(session, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQresultErrorMessage(result));
	return result;
}

/* Runs SQL. */
void
server_run(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	PQclear(run(format, args));
	va_end(args);
}

/* Runs SQL whose one value is a number; NULL is 0. */
int64_t
server_number(const char *format, ...)
{
	va_list args;
	PGresult *result;
	int64_t number;

	va_start(args, format);
	result = run(format, args);
	va_end(args);
	number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return number;
}

/* Waits until a boolean is true, which has to come. */
void
until_true(const char *format, ...)
{
	time_t deadline = time(NULL) + (time_t) PATIENCE;
	bool met = false;

	while (!met)
	{
		va_list args;
		PGresult *result;

		va_start(args, format);
		result = run(format, args);
		va_end(args);
		met = PQgetvalue(result, 0, 0)[0] == 't';
		PQclear(result);
		if (!met && time(NULL) > deadline)
			fail_msg("this does not become true: %s", format);
		if (!met)
			nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
}

/* An open connection of the library. */
StentConn *
client_open(void)
{
	StentConn *conn = stent_conn_new("");
	StentError error;

	assert_non_null(conn);
	assert_status(STENT_OK, stent_connect(conn, NULL, &error), &error);
	return conn;
}

/* Compares, and tells the error if it is another. */
void
assert_status(StentStatus expected, StentStatus got, const StentError *error)
{
	if (expected != got)
		fail_msg("status is \"%s\", not \"%s\": %s %s (%s)", stent_status_name(got),
				 stent_status_name(expected), error->code, error->message, error->hint);
}

/* ------------------------------------------------------------------ memory */

static long countdown;
static bool failed;
static long in_use;

static bool
fails_now(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	failed = true;
	return true;
}

static void *
watched_resize(void *block, size_t size)
{
	if (fails_now())
		return NULL;
	if (block == NULL)
		in_use++;
	return realloc(block, size);
}

static void *
watched_new(size_t size)
{
	return watched_resize(NULL, size);
}

static void
watched_free(void *block)
{
	if (block != NULL)
		in_use--;
	free(block);
}

/* Puts the watch in place; before anything is allocated. */
void
memory_watch(void)
{
	memory.resize = watched_resize;
	memory.release = watched_free;
	json_set_alloc_funcs(watched_new, watched_free);
}

/* The n-th request of memory from now fails; 0: none. */
void
memory_fail(long n)
{
	countdown = n;
	failed = false;
}

/* Whether it has. */
bool
memory_failed(void)
{
	return failed;
}

/* Blocks taken and not given back. */
long
memory_in_use(void)
{
	return in_use;
}
