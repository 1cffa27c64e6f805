// The new code of cycles.c.
extern long accounts[];
extern volatile long last;
void move(int from, int to, long amount) { accounts[to] += amount; accounts[from] -= amount; last = 2; }
long fee(long amount) { return amount * 2 / 20; }
