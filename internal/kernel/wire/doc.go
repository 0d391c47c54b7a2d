// Package wire asks a link who has an address, before somebody else gets it.
package wire
