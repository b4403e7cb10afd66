/*
 * process.h
 *	  The processes of the server: what one needs to start another.
 */
#ifndef STENT_PROCESS_H
#define STENT_PROCESS_H

#include "postgres.h"

#include "postmaster/bgworker.h"

/* What a process is told when it is started; travels in bgw_extra. */
typedef struct ProcessStart
{
	Oid database;
	Oid role;
	int slot; /* -1: not preloaded, polls */
	uint32 generation;
} ProcessStart;

typedef enum ProcessKind
{
	PROCESS_LAUNCHER,
	PROCESS_SCHEDULER,
	PROCESS_EXECUTOR
} ProcessKind;

extern void process_describe(BackgroundWorker *worker, ProcessKind kind, const ProcessStart *start,
							 const char *name);
extern void process_begin(ProcessStart *start);
extern void process_wait(long timeout_ms);
extern void process_reload(void);
extern bool process_extension_here(void);

extern PGDLLEXPORT void stent_launcher_main(Datum arg);
extern PGDLLEXPORT void stent_scheduler_main(Datum arg);
extern PGDLLEXPORT void stent_executor_main(Datum arg);

#endif
