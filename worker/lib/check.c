/*
 * check.c
 *	  Arguments that cannot be right are refused before anything is sent.
 *
 * Only what would crash here or mean something else there; the rest is the server's to judge.
 */
#include "check.h"

#include "error.h"

/* A name is there and not empty. */
StentStatus
check_name(const char *name, const char *what, StentError *error)
{
	if (name == NULL || name[0] == '\0')
		return error_set(error, STENT_INVALID, "%s has no name", what);
	return STENT_OK;
}

/* No name of a list is NULL. */
StentStatus
check_names(StentNames names, const char *what, StentError *error)
{
	for (size_t i = 0; names.names != NULL && i < names.n; i++)
		if (names.names[i] == NULL)
			return error_set(error, STENT_INVALID, "name %zu of the %s is NULL", i, what);
	return STENT_OK;
}

/* The same of the three lists a worker has. */
StentStatus
check_filters(StentNames functions, StentNames queues, StentNames tags, StentError *error)
{
	StentStatus status = check_names(functions, "functions", error);

	if (status == STENT_OK)
		status = check_names(queues, "queues", error);
	if (status == STENT_OK)
		status = check_names(tags, "tags", error);
	return status;
}
