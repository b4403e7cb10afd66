/*
 * wake.c
 *	  Waking workers that wait for work, by NOTIFY.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "registry.h"
#include "wake.h"

/* how often to look where nobody tells */
#define POLL_MS 1000

/* The names in an array of queues, checked. */
static int
names_of(ArrayType *queues, char ***names)
{
	Datum *elements;
	bool *nulls;
	int n;

	deconstruct_array(queues, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	*names = palloc_array(char *, n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("a queue must not be null"),
							errhint("Leave queues out for all of them.")));
		(*names)[i] = check_name(DatumGetTextPP(elements[i]), "queue");
	}
	return n;
}

PG_FUNCTION_INFO_V1(stent_worker_wait);
Datum
stent_worker_wait(PG_FUNCTION_ARGS)
{
	char **names;

	if (!PG_ARGISNULL(0))
		(void) names_of(PG_GETARG_ARRAYTYPE_P(0), &names);
	PG_RETURN_INTERVAL_P(interval_from_us(POLL_MS * INT64CONST(1000)));
}
