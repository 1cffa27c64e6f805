// A program that loads and unloads a library as it is told.
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	char line[100];
	void *lib = 0;
	int (*asked)(void) = 0;

	setvbuf(stdout, 0, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin)) {
		if (line[0] == 'l') {
			lib = dlopen(argv[1], RTLD_NOW);
			asked = (int (*)(void))dlsym(lib, "asked");
		}
		if (line[0] == 'u') {
			dlclose(lib);
			puts("0");
			continue;
		}
		printf("%d\n", asked());
	}
	return 0;
}
