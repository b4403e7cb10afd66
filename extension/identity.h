/*
 * identity.h
 *	  Whether this database's work is this server's to run.
 */
#ifndef STENT_IDENTITY_H
#define STENT_IDENTITY_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef enum IdentityVerdict
{
	IDENTITY_OURS,
	IDENTITY_FOREIGN, /* a copy, or one restored here: nothing runs until stent.adopt() */
	IDENTITY_UNKNOWN  /* nothing speaks against it, but the data directory has no mark */
} IdentityVerdict;

extern IdentityVerdict identity_check(char *why, size_t len);
extern bool identity_is_foreign(char *why, size_t len);
extern Jsonb *identity_report(void);

#endif
