/*
 * step_row.h
 *	  The rows of stent.step.
 */
#ifndef STENT_STEP_ROW_H
#define STENT_STEP_ROW_H

#include "postgres.h"

#include "step.h"

extern void step_rows_load(Store *store, Steps *steps);
extern Step *step_row_last(Store *store, int64 task_id);
extern void step_row_write(Store *store, Steps *steps, Step *step);
extern void step_rows_delete(Store *store, int64 task_id);

#endif
