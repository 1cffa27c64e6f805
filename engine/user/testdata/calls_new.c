// calls.c with new code.
#define NEW
#include "calls.c"
