/*
 * state_file.h
 *	  What must outlive the server: the data directory's mark, and which task each
 *	  process was running when it died.
 */
#ifndef STENT_STATE_FILE_H
#define STENT_STATE_FILE_H

#include "postgres.h"

#define STATE_FILE_MARK_LENGTH 33 /* hexadecimal, with the final zero */
#define STATE_FILE_MAX_PENDING 1024

/* A task that was running in a process that died, of an earlier life of the server. */
typedef struct StateNote
{
	int64 task_id;
	Oid database;
	int replays; /* the attempt it was */
	int attempt;
	int entry; /* where the file keeps it */
} StateNote;

extern void state_file_init(void);
extern void state_file_startup(int n_procs);

extern bool state_file_mark(char out[STATE_FILE_MARK_LENGTH]);
extern bool state_file_was_standby(void);

extern void state_file_note(int proc, Oid database, int64 task_id, int replays, int attempt);
extern void state_file_forget(int proc);
extern void state_file_quit_handler_install(void);

extern int state_file_pending(Oid database, StateNote *out, int max);
extern void state_file_settle(const StateNote *note);

#endif
