// It replaces a function that is not there.
#include "by_hand.h"

static void patched(void)
{
}

REPLACE("no_such_function", patched);
