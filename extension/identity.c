#include "postgres.h"
#include "identity.h"
IdentityVerdict
identity_check(char *why, size_t len)
{
	return IDENTITY_OURS;
}
