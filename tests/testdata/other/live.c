/* Another file of the same name with a static function of the same name. */
__attribute__((noipa)) static int check(int x) { return x * 5; }
int other_file(int x) { return check(x); }
