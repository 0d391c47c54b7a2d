// Package hostid keeps the ID by which other hosts know this one.
package hostid
