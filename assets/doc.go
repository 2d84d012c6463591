// Package assets serves the static files of an agent, as Cloudflare's static assets do
// (https://developers.cloudflare.com/workers/static-assets/): which file a path stands for, redirects between the forms
// of a page's address, validators, and what is answered where there is no file. It reads nothing outside of its folder,
// whatever a path or a symbolic link says, and it knows neither Caddy nor agents.
package assets
