#ifndef STENT_STATE_FILE_H
#define STENT_STATE_FILE_H
#include "postgres.h"
extern void state_file_startup(int n_procs);
extern void state_file_note(int proc, Oid database, int64 task_id, int replays, int attempt);
extern void state_file_forget(int proc);
extern void state_file_quit_handler_install(void);
#endif
