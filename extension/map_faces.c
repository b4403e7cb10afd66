/*
 * map_faces.c
 *	  par_map() = parallel_map(), and par_each(): map() with its defaults.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "json.h"
#include "map.h"

/* Arguments of these */
enum
{
	FACE_FUNCTION,
	FACE_ITEMS,
	FACE_LIMIT,
	FACE_STEP_NAME
};

static void
pass_on(FunctionCallInfo from, int arg, FunctionCallInfo to, int as)
{
	to->args[as] = from->args[arg];
}

/* map() with the arguments of one of these. */
static Datum
call_map(FunctionCallInfo fcinfo)
{
	LOCAL_FCINFO(call, MAP_ARGUMENTS);
	Datum result;

	InitFunctionCallInfoData(*call, fcinfo->flinfo, MAP_ARGUMENTS, fcinfo->fncollation, NULL, NULL);
	for (int i = 0; i < MAP_ARGUMENTS; i++)
		call->args[i] = (NullableDatum){.isnull = true};
	pass_on(fcinfo, FACE_FUNCTION, call, MAP_FUNCTION);
	pass_on(fcinfo, FACE_ITEMS, call, MAP_ITEMS);
	pass_on(fcinfo, FACE_LIMIT, call, MAP_LIMIT);
	pass_on(fcinfo, FACE_STEP_NAME, call, MAP_STEP_NAME);
	call->args[MAP_CHUNK_SIZE_ARG] = (NullableDatum){.value = Int32GetDatum(MAP_CHUNK_SIZE)};
	call->args[MAP_ON_ERROR] = (NullableDatum){.value = CStringGetTextDatum("fail")};
	result = stent_map(call);
	fcinfo->isnull = call->isnull;
	return result;
}

PG_FUNCTION_INFO_V1(stent_par_map);
Datum
stent_par_map(PG_FUNCTION_ARGS)
{
	return call_map(fcinfo);
}

PG_FUNCTION_INFO_V1(stent_par_each);
Datum
stent_par_each(PG_FUNCTION_ARGS)
{
	(void) call_map(fcinfo);
	fcinfo->isnull = false;
	PG_RETURN_JSONB_P(json_null());
}
