import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * Puts the recipe to the test. Each line of stdin is one request: format, seconds now, and in base64 the secret, the
 * body and six headers ("-" where one is missing). Each line of stdout is "true" or "false".
 */
final class Check {
    public static void main(String[] arguments) throws IOException {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(check(line.split("\t")));
        }
    }

    private static boolean check(String[] fields) {
        String format = fields[0];
        long now = Long.parseLong(fields[1]);
        String secret = text(fields[2]);
        byte[] body = Base64.getDecoder().decode(fields[3]);
        String id = text(fields[4]);
        String timestamp = text(fields[5]);
        String signature = text(fields[6]);
        String alternate = text(fields[7]);
        if (format.equals("standard")) return Verify.standard(body, id, timestamp, signature, secret, now);

        String prefix = format.equals("gravv") ? "" : "sha256=";
        if (signature == null) return false;
        if (!Verify.bodySignature(body, signature, prefix, secret)
                && !Verify.bodySignature(body, alternate, prefix, secret)) return false;
        if (!format.equals("grantex")) return true;
        String second = text(fields[8]);
        return second != null
                && (Verify.timestamped(body, timestamp, second, secret, now)
                        || Verify.timestamped(body, timestamp, text(fields[9]), secret, now));
    }

    private static String text(String field) {
        if (field.equals("-")) return null;
        return new String(Base64.getDecoder().decode(field), StandardCharsets.UTF_8);
    }
}
