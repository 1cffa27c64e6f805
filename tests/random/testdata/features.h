// What csmith's functions and those of features.c share. It stands in front of
// csmith's part, and features.c behind it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned feature_state = INITIAL(1000);
static __thread unsigned feature_thread = INITIAL(1000);

static const char *feature_word(unsigned x);
unsigned feature_static(unsigned x);
unsigned feature_recursive(unsigned x);
unsigned feature_weak(unsigned x);
unsigned feature_named(unsigned x);
unsigned feature_alias(unsigned x);
static unsigned feature_plus(unsigned x);
