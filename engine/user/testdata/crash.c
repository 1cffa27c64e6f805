// A program that dies.
int main(int argc, char **argv) {
	if (argc > 1 && argv[1][0] == 's') *(volatile int *)8 = 1;
	__builtin_trap();
}
