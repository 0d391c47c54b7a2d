// Package output prints what a subcommand found, in the form that the user chose: for people, as
// JSON, or by a Go template.
package output
