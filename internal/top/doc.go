// Package top shows tables on the whole screen of a terminal, which follow what happens.
package top
