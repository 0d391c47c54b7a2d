// Package web serves a read-only page on this host, which follows what happens.
package web
