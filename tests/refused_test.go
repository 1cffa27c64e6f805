package tests

// refusedKind is a package, or a fix of it, of which no patch can be made.
type refusedKind struct {
	kind kind
	env  []string // in which the package was built, other than here
	code int
	says string
}

// file is a package whose answer.c is another one, and the change of it.
func file(text, old, new string) kind {
	return kind{files: map[string]string{"answer.c": "#include \"answer.h\"\n" + text}, change: change{"answer.c", old, new}}
}

// with gives a kind another way to be built.
func (k kind) with(build string) kind {
	k.build = build
	return k
}

var refusedKinds = map[string]refusedKind{
	"a type that grows": {
		kind: file("struct pair { int a; };\n__attribute__((noipa)) static int get(struct pair *p) { return p->a + 1; }\nint answer(int x) { struct pair p = {x}; return get(&p); }\n",
			"int a;", "int a, b[7];"), code: 5, says: "answer.c: the layout of struct pair changed",
	},
	"a table that grows": {
		kind: file("int table[] = {1, 2};\nint answer(int x) { return x + table[x & 1]; }\n", "{1, 2}", "{1, 2, 3}"), code: 5, says: "answer.c: table: the size of existing data changed from 8 to 12",
	},
	"a thread-local variable": {
		kind: file("__thread int mine = 1;\nint answer(int x) { return x + mine; }\n", "mine = 1", "mine = 2"), code: 5, says: "answer.c: mine: ",
	},
	"a virtual function": {
		kind: kind{
			files:   map[string]string{"answer.cc": "#include \"answer.h\"\nstruct base { virtual int get(int x) { return x + 1; } virtual ~base() {} };\nbase *make() { return new base; }\nint answer(int x) { static base *b = make(); return b->get(x); }\n"},
			without: []string{"answer.c"}, build: "gcc -O2 -g -c main.c; g++ -O2 -g -c answer.cc; g++ -o kind main.o answer.o",
			change: change{"answer.cc", "virtual ~base() {}", "virtual ~base() {} virtual int more() { return 4; }"},
		}, code: 5, says: "a table of virtual functions changed|the layout of",
	},
	"main": {
		kind: kind{change: change{"main.c", "answer(5)", "answer(6)"}}, code: 5, says: "main.c: main: .* every process is in main until it ends",
	},
	"a constructor": {
		kind: file("static int offset;\n__attribute__((constructor)) static void start(void) { offset = 1; }\nint answer(int x) { return x + offset; }\n", "offset = 1", "offset = 2"), code: 5, says: "answer.c: start: it runs when the program starts",
	},
	"a chooser": {
		kind: file("static int one(int x) { return x + 1; }\nstatic int two(int x) { return x + 2; }\nstatic void *choose(void) { return one; }\nint chosen(int) __attribute__((ifunc(\"choose\")));\nvoid *keep = two;\nint answer(int x) { return chosen(x); }\n",
			"return one;", "return two;"), code: 5, says: "it chooses an implementation when the program is loaded",
	},
	"a function without room": {
		kind: file("int dummy;\n__attribute__((noipa)) void nothing(void) { }\n__attribute__((noipa)) void next(void) { dummy++; }\nint answer(int x) { nothing(); next(); return x + 1; }\n",
			"nothing(void) { }", "nothing(void) { dummy += 3; }").with("gcc -O2 -g -fno-align-functions -fcf-protection=none -o kind *.c"), code: 5, says: "answer.c: nothing: it is too short to be redirected",
	},
	"assembly at file level": {
		kind: file("asm(\".text\\nhelper: nop\\nret\\n\");\nint answer(int x) { return x + 1; }\n", "helper: nop", "helper: nop\\nnop"), code: 5, says: "that belongs to no function",
	},
	"a file in assembler": {
		kind: kind{
			files: map[string]string{"answer.S": ".text\n.globl answer\n.type answer, @function\nanswer:\n\tlea 1(%rdi), %eax\n\tret\n.size answer, .-answer\n.section .note.GNU-stack,\"\"\n"}, without: []string{"answer.c"},
			build: "gcc -O2 -g -o kind main.c answer.S", change: change{"answer.S", "lea 1(", "lea 2("},
		}, code: 5, says: "answer.S: changed assembly is not supported",
	},
	"sources in two directories": {
		kind: kind{prep: "mkdir one two; tar xzf %{SOURCE0}; mv kind/* one; rmdir kind", build: "gcc -O2 -g -o kind one/*.c"}, code: 1, says: "its preparation made 2 source directories",
	},
	"link-time optimisation": {
		kind: kind{build: "gcc -O2 -g -flto -o kind *.c"}, code: 1, says: "link-time optimisation is not supported",
	},
	"another compiler": {
		kind: kind{build: "${KIND_CC:-gcc} -O2 -g -o kind *.c"}, env: []string{"KIND_CC=clang"}, code: 1, says: `compiled by "clang .*", but the compiler here is "GNU`,
	},
	"other flags": {
		kind: kind{build: "gcc -g ${KIND_FLAGS:--O2} -o kind *.c"}, env: []string{"KIND_FLAGS=-O0 -fno-inline -DOTHER"}, code: 1, says: "is debuginfo of another build: ",
	},
	"a compiler by its path": {
		kind: kind{build: "gcc -O2 -g -c main.c; /usr/bin/gcc -O2 -g -c answer.c; gcc -o kind *.o"}, code: 1, says: "answer.o, linked into .*kind, was not compiled by a recorded command",
	},
	"all compilers by their paths": {
		kind: kind{build: "/usr/bin/gcc -O2 -g -B/usr/bin -o kind *.c"}, code: 1, says: "it called no compiler through PATH",
	},
}
