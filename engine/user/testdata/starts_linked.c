// A program that is linked to plugin.c.
#include <stdio.h>

int asked(void);

int main(void) {
	printf("%d %d\n", asked() / 10, asked() % 10);
	return 0;
}
