// node:net (https://nodejs.org/api/net.html): addresses. Connections are made with connect of cloudflare:sockets.

const v4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

function isIPv6(text) {
	text = String(text);
	const zone = text.indexOf("%");
	if (zone === 0 || (zone > 0 && zone === text.length - 1)) {
		return false;
	}
	return native.isIPv6(zone < 0 ? text : text.slice(0, zone));
}

exports.isIPv4 = (text) => v4.test(String(text));
exports.isIPv6 = isIPv6;
exports.isIP = (text) => exports.isIPv4(text) ? 4 : isIPv6(text) ? 6 : 0;
native.fillAbsent("net", exports);
