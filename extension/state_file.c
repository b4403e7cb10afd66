#include "postgres.h"
#include "state_file.h"
void
state_file_startup(int n_procs)
{
}
void
state_file_note(int proc, Oid database, int64 task_id, int replays, int attempt)
{
}
void
state_file_forget(int proc)
{
}
void
state_file_quit_handler_install(void)
{
}
