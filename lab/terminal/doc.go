// Package terminal gives a test a pseudo terminal, at which it types and reads like a person.
package terminal
