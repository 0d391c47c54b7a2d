// Package events keeps what happened on this host, for people who ask later.
package events
