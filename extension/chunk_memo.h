/*
 * chunk_memo.h
 *	  Items of a chunk that need not be run, because the same call was made before.
 */
#ifndef STENT_CHUNK_MEMO_H
#define STENT_CHUNK_MEMO_H

#include "postgres.h"

#include "chunk.h"

extern void chunk_memo_prepare(Store *store, ChunkRun *run, const Function *function,
							   const char *role);
extern void chunk_memo_share(ChunkRun *run);
extern void chunk_memo_remember(Store *store, const ChunkRun *run, const Function *function,
								const char *role, int64 task_id);

#endif
