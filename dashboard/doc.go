// Package dashboard is the page: what the gateway's records tell, served as a few embedded files and a JSON API that the page reads. The
// files are served as they are in the source: nothing generates them.
//
// It must not know Caddy, nor who may see it: its caller lets only those in who may.
package dashboard
