// Package analytics keeps the data points that agents write, in one embedded SQLite file, and answers SQL about them.
// Its columns are those of Cloudflare's Analytics Engine (https://developers.cloudflare.com/analytics/analytics-engine/).
//
// It must not know who writes or who asks: the caller has decided that both may.
package analytics
