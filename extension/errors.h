/*
 * errors.h
 *	  The conditions callers may act on, as SQLSTATEs of class ST.
 *
 * errcodes.txt reserves classes that begin with 5-9 or I-Z for implementations.
 * Everything else raises the standard SQLSTATE that fits; docs/errors.md lists
 * both kinds.
 */
#ifndef STENT_ERRORS_H
#define STENT_ERRORS_H

#include "utils/elog.h"

#define STENT_ERR_NOT_FINISHED MAKE_SQLSTATE('S', 'T', '0', '0', '1')
#define STENT_ERR_TIMED_OUT MAKE_SQLSTATE('S', 'T', '0', '0', '2')
#define STENT_ERR_ATTEMPT_TIMEOUT MAKE_SQLSTATE('S', 'T', '0', '0', '3')
#define STENT_ERR_CANCELLED MAKE_SQLSTATE('S', 'T', '0', '0', '4')
#define STENT_ERR_CRASHED MAKE_SQLSTATE('S', 'T', '0', '0', '5')
#define STENT_ERR_HANDLER_UNUSABLE MAKE_SQLSTATE('S', 'T', '0', '0', '6')
/* a task's own error whose code a caller would take for its own, or our answer */
#define STENT_ERR_TASK_INTERRUPTED MAKE_SQLSTATE('S', 'T', '0', '0', '7')
#define STENT_ERR_ALREADY_STARTED MAKE_SQLSTATE('S', 'T', '0', '0', '8')
#define STENT_ERR_COMMIT_FAILED MAKE_SQLSTATE('S', 'T', '0', '0', '9')
#define STENT_ERR_WAIT_RAN_OUT MAKE_SQLSTATE('S', 'T', '0', '1', '0')
#define STENT_ERR_FINISHED MAKE_SQLSTATE('S', 'T', '0', '1', '1')
#define STENT_ERR_LEASE_LOST MAKE_SQLSTATE('S', 'T', '0', '1', '2')
#define STENT_ERR_PROTOCOL MAKE_SQLSTATE('S', 'T', '0', '1', '3')
/* what a worker's handler failed with, if it did not say */
#define STENT_ERR_HANDLER_FAILED MAKE_SQLSTATE('S', 'T', '0', '1', '4')
#define STENT_ERR_WORKER_LOST MAKE_SQLSTATE('S', 'T', '0', '1', '5')
#define STENT_ERR_STEP_MISMATCH MAKE_SQLSTATE('S', 'T', '0', '1', '6')
/* a child's error that a parent's exception block could not catch */
#define STENT_ERR_CHILD_INTERRUPTED MAKE_SQLSTATE('S', 'T', '0', '1', '7')
#define STENT_ERR_SUSPENSION_SWALLOWED MAKE_SQLSTATE('S', 'T', '0', '1', '8')

#endif
