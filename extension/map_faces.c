/*
 * map_faces.c
 *	  par_map() = parallel_map(), and par_each(): map() with its defaults.
 *
 * Names of the same function fail with the same words, so these name none.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "json.h"
#include "map.h"

enum
{
	FACE_FUNCTION,
	FACE_ITEMS,
	FACE_LIMIT,
	FACE_STEP_NAME
};

static Jsonb *
call(FunctionCallInfo fcinfo, bool gather)
{
	LOCAL_FCINFO(map, MAP_ARGUMENTS);

	InitFunctionCallInfoData(*map, fcinfo->flinfo, MAP_ARGUMENTS, fcinfo->fncollation, NULL, NULL);
	for (int i = 0; i < MAP_ARGUMENTS; i++)
		map->args[i] = (NullableDatum){.isnull = true};
	map->args[MAP_ARG_FUNCTION] = fcinfo->args[FACE_FUNCTION];
	map->args[MAP_ARG_ITEMS] = fcinfo->args[FACE_ITEMS];
	map->args[MAP_ARG_LIMIT] = fcinfo->args[FACE_LIMIT];
	map->args[MAP_ARG_STEP_NAME] = fcinfo->args[FACE_STEP_NAME];
	map->args[MAP_ARG_CHUNK_SIZE] = (NullableDatum){.value = Int32GetDatum(MAP_CHUNK_SIZE)};
	map->args[MAP_ARG_ON_ERROR] = (NullableDatum){.value = CStringGetTextDatum("fail")};
	return map_call(map, false, gather, "a parallel map");
}

PG_FUNCTION_INFO_V1(stent_par_map);
Datum
stent_par_map(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(call(fcinfo, true));
}

PG_FUNCTION_INFO_V1(stent_par_each);
Datum
stent_par_each(PG_FUNCTION_ARGS)
{
	(void) call(fcinfo, false);
	PG_RETURN_JSONB_P(json_null());
}
