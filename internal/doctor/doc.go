// Package doctor finds what is wrong with a host's networks. Package survey gathers the facts; each
// check here is a function from facts to findings.
package doctor
