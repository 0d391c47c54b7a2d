// Package docstest types the commands of the documents for users, as they stand there, on hosts of
// a lab.
package docstest
