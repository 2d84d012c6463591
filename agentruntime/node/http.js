// node:http (https://nodejs.org/api/http.html): the words of HTTP. Requests are sent with fetch and answered with a handler.

exports.METHODS = [
	"ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR",
	"MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT", "QUERY", "REBIND", "REPORT", "SEARCH",
	"SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
];
exports.STATUS_CODES = native.statusCodes();
exports.maxHeaderSize = 16384;
native.fillAbsent("http", exports);
