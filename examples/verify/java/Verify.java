import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Verifies webhooks of Posthorn. The body is the raw one, before anything parsed it. Java 17, nothing but the JDK. */
public final class Verify {
    private static final long TOLERANCE_SECONDS = 300;

    private Verify() {}

    /** Format "standard": the values of webhook-id, webhook-timestamp and webhook-signature; now in unix seconds. */
    public static boolean standard(
            byte[] body, String id, String timestamp, String signatures, String secret, long now) {
        if (id == null || signatures == null || secret == null || !isFresh(timestamp, now)) return false;
        byte[] key;
        try {
            key = Base64.getDecoder().decode(secret.startsWith("whsec_") ? secret.substring(6) : secret);
        } catch (IllegalArgumentException notBase64) {
            return false;
        }
        if (key.length == 0) return false;
        String expected = "v1," + Base64.getEncoder().encodeToString(mac(key, id + "." + timestamp + ".", body));
        // Other versions than v1 are not for us.
        return isAmong(expected, signatures);
    }

    /**
     * Formats "grantex", "grantiva", "lexigram" (prefix "sha256=") and "gravv" (prefix ""): the value of the signature
     * header. While secrets rotate, try the header with "-Alternate" behind its name too.
     */
    public static boolean bodySignature(byte[] body, String signature, String prefix, String secret) {
        return isHexMac(body, signature, prefix, secret, "");
    }

    /** X-Grantex-Signature-V2, which covers X-Grantex-Timestamp too: old requests cannot be replayed. */
    public static boolean timestamped(byte[] body, String timestamp, String signature, String secret, long now) {
        return isFresh(timestamp, now) && isHexMac(body, signature, "sha256=", secret, timestamp + ".");
    }

    private static boolean isHexMac(byte[] body, String signature, String prefix, String secret, String head) {
        // A secret that was never set must not verify anything.
        if (signature == null || secret == null || secret.isEmpty()) return false;
        byte[] mac = mac(secret.getBytes(StandardCharsets.UTF_8), head, body);
        return isAmong(prefix + HexFormat.of().formatHex(mac), signature);
    }

    private static byte[] mac(byte[] key, String head, byte[] body) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            mac.update(head.getBytes(StandardCharsets.UTF_8));
            return mac.doFinal(body);
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("every Java has HmacSHA256", impossible);
        }
    }

    private static boolean isFresh(String timestamp, long now) {
        if (timestamp == null || !timestamp.matches("\\d{1,12}")) return false;
        return Math.abs(now - Long.parseLong(timestamp)) <= TOLERANCE_SECONDS;
    }

    /** While secrets rotate there are several, parted by spaces. Each is compared in constant time. */
    private static boolean isAmong(String expected, String signatures) {
        byte[] wanted = expected.getBytes(StandardCharsets.UTF_8);
        boolean matches = false;
        // A header that came twice is not ours, and servers join the two.
        if (signatures.contains(", ")) return false;
        for (String signature : signatures.split(" ")) {
            matches |= MessageDigest.isEqual(wanted, signature.getBytes(StandardCharsets.UTF_8));
        }
        return matches;
    }
}
