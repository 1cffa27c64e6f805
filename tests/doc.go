// Package tests holds what tests SysCare as a whole: the direction of imports
// here, and packages, processes and programs in the packages below.
package tests
