#ifndef STENT_IDENTITY_H
#define STENT_IDENTITY_H
#include "postgres.h"
typedef enum IdentityVerdict
{
	IDENTITY_OURS,
	IDENTITY_FOREIGN
} IdentityVerdict;
extern IdentityVerdict identity_check(char *why, size_t len);
#endif
