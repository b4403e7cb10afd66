#include "postgres.h"

#include "miscadmin.h"
#include "utils/hsearch.h"

#include "board.h"
#include "careful.h"
#include "compat.h"
#include "shmem.h"
#include "slots.h"

int
careful_account(void)
{
	return 0;
}
void
careful_settle(void)
{
}

/* One task that has crashed a server runs at a time; false: not now. */
bool
careful_enter(void)
{
	bool mine;

	if (stent_shared == NULL)
		return true;
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	mine = stent_shared->careful == -1 || stent_shared->careful == MyProcIndex;
	if (mine)
		stent_shared->careful = MyProcIndex;
	else
		stent_shared->careful_wanted = true;
	LWLockRelease(stent_shared->lock);
	return mine;
}

/* Its transaction has ended, or it was not taken: the next may run. */
void
careful_leave(void)
{
	HASH_SEQ_STATUS status;
	BoardRole *role;

	if (stent_shared == NULL || stent_shared->careful != MyProcIndex)
		return;
	LWLockAcquire(stent_shared->lock, LW_EXCLUSIVE);
	stent_shared->careful = -1;
	if (stent_shared->careful_wanted)
	{
		/* somebody passed over such a task; which role's is not known */
		stent_shared->careful_wanted = false;
		board_scan_begin(&status);
		while ((role = hash_seq_search(&status)) != NULL)
		{
			DatabaseSlot *database = shmem_database(role->key.database, false);

			role->changes++;
			if (database != NULL && role->first != NULL)
				shmem_set_latch(slots_notice(database, role));
		}
	}
	LWLockRelease(stent_shared->lock);
}
