// Package tests holds what tests SysCare as a whole: the direction of imports,
// and the programs on real packages and processes. Package redisrpm makes the
// packages.
package tests
